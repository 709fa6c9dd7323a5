"""A few hundred cases of the fuzzer, and failures that it must find."""

import contextlib
import os
import struct
import sys
import time
from functools import partial

import pytest
from PIL import Image
from processes import PATIENCE

pytest.importorskip('av', reason="needs the extra 'video'")
from projects.fuzz import cases, run
from projects.fuzz.run import target
from projects.fuzz.worker import Limits, Outcome, run_cases

LIMITS = Limits(seconds=PATIENCE, megabytes=1500)


@pytest.mark.slow
def test_damaged_and_hostile_files_are_right_or_refused():
    outcomes = list(run_cases(partial(target, 1, None, None), range(350), LIMITS))
    assert [(o.number, o.failure) for o in outcomes if o.failure] == []
    kinds = {outcome.result.partition(':')[0] for outcome in outcomes}
    assert kinds == set(cases.KINDS)
    results = sum(outcome.result.endswith(cases.RESULT) for outcome in outcomes)
    assert 50 < results < 300  # neither all refused nor all untouched


def misbehave(number):
    """A reader that fails for every number except the first and the last."""
    if number == 1:
        raise KeyError('a mistake')
    if number == 2:
        os._exit(3)
    if number == 3:
        time.sleep(PATIENCE)
    if number == 4:
        return str(len(b'x' * 300_000_000))
    return 'right'


@pytest.mark.slow
def test_crash_hang_and_memory_are_failures_and_the_next_case_runs():
    # The hanging case alone has to wait for its limit; the others may be slow on a busy machine.
    short, long = Limits(seconds=3, megabytes=200), Limits(seconds=PATIENCE, megabytes=200)
    parts = (long, range(3)), (short, [3]), (long, range(4, 6))
    outcomes = [o for limits, numbers in parts for o in run_cases(misbehave, numbers, limits)]
    assert [outcome.number for outcome in outcomes] == list(range(6))
    failures = [outcome.failure for outcome in outcomes]
    assert failures[0] == failures[5] == ''
    assert outcomes[5].result == 'right'
    assert failures[1].startswith("KeyError: 'a mistake' (test_fuzz.py:")
    assert failures[2] == 'the process ended (status 3)'
    assert failures[3] == 'more than 3 seconds'
    if os.path.exists('/proc/self/clear_refs'):
        assert failures[4].endswith(' MB of memory')


def test_the_file_of_a_failure_is_the_one_that_failed(tmp_path, monkeypatch):
    """Another process would make other bytes of some cases."""
    tried = []

    def fail(kind, content):
        tried.append(content)
        raise KeyError

    def run_two(target, numbers, limits):
        for number in numbers:
            case = 'picture', f'{number}'.encode()
            monkeypatch.setattr(run, 'make_case', lambda *_, case=case: case)
            with contextlib.suppress(KeyError):
                target(number)
            monkeypatch.setattr(run, 'make_case', lambda *_: ('picture', b'other'))
            yield Outcome(number, 'picture: result', 'KeyError' if number == 1 else '', 0.0)

    monkeypatch.setattr(run, 'run_case', fail)
    monkeypatch.setattr(run, 'run_cases', run_two)
    folder = tmp_path / 'new'
    words = ['run.py', '--cases', '3', '--only', 'picture', '--keep', str(folder)]
    monkeypatch.setattr(sys, 'argv', words)
    assert run.main() == 1
    assert tried == [b'0', b'1', b'2']
    assert [path.name for path in folder.iterdir()] == ['1.picture']
    assert (folder / '1.picture').read_bytes() == b'1'


def test_same_seed_and_number_give_the_same_case():
    for number in range(len(cases.KINDS)):
        assert cases.make_case(number, 5) == cases.make_case(number, 5)
    contents = {cases.make_case(number, 5, 'picture')[1] for number in range(20)}
    assert len(contents) > 15


def picture(tmp_path):
    Image.new('L', (40, 30), 99).save(tmp_path / 'a.png')
    return (tmp_path / 'a.png').read_bytes()


def test_valid_picture_is_a_result(tmp_path):
    assert cases.run_case('picture', picture(tmp_path)) == cases.RESULT
    assert cases.run_case('picture', b'hello') == cases.REFUSED


@pytest.mark.parametrize('error', [ValueError('two\nlines'), AttributeError('x'), MemoryError()])
def test_unexpected_error_of_a_reader_is_a_failure(tmp_path, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(cases, 'read_image', fail)
    with pytest.raises(type(error)):
        cases.run_case('picture', picture(tmp_path))


def test_refusal_of_two_lines_is_wrong(tmp_path, monkeypatch):
    def refuse(*_):
        raise cases.UserError('two\nlines')

    monkeypatch.setattr(cases, 'read_image', refuse)
    with pytest.raises(cases.WrongOutcomeError, match='not one line'):
        cases.run_case('picture', picture(tmp_path))


def test_result_of_another_size_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(cases, 'read_image', lambda path: Image.new('L', (7, 5)))
    small = Image.new('RGB', (5, 5))
    monkeypatch.setattr(cases, '_pipe', lambda: lambda image: small)
    with pytest.raises(cases.WrongOutcomeError, match='became'):
        cases.run_case('picture', picture(tmp_path))


def block(width):
    exif = [(0xA001, 3, 1, 1), (0xA002, 4, 1, width), (0xA003, 4, 1, 30)]
    pointer = [(0x8769, 4, 1, 26)]
    directories = b''.join(
        struct.pack('<H', len(entries))
        + b''.join(struct.pack('<HHII', *entry) for entry in entries)
        + bytes(4)
        for entries in (pointer, exif)
    )
    return b'Exif\0\0II*\0\x08\0\0\0' + directories


def test_exif_is_checked():
    cases.check_exif(block(40), (40, 30))
    with pytest.raises(cases.WrongOutcomeError, match='another file'):
        cases.check_exif(block(4000), (40, 30))
    outside = block(40).replace(
        struct.pack('<HHI', 0xA001, 3, 1), struct.pack('<HHI', 0xA001, 3, 999)
    )
    with pytest.raises(cases.WrongOutcomeError, match='points outside'):
        cases.check_exif(outside, (40, 30))
