"""A user study: the page does not reveal the methods, and choices are counted correctly."""

import json
import re
import runpy
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from dualattn_mm.utils.errors import UserError
from projects.user_study.preference_score import boxplot, score
from projects.user_study.preference_study import make_study

TOOL = Path(__file__).parents[3] / 'projects' / 'user_study' / 'run.py'
NAMES = ['Secret One', 'secret-two', 'secret3']
COLORS = dict(zip(NAMES, [(200, 40, 40), (40, 200, 40), (40, 40, 200)], strict=True))


@pytest.fixture
def methods(tmp_path):
    """Three methods' results on eight photos, of a color that tells the method."""
    for k, name in enumerate(NAMES):
        for i in range(8):
            path = tmp_path / name / f'class{i % 2}' / f'{i}.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            info = PngInfo()
            info.add_text('Software', name)
            color = tuple(c + i for c in COLORS[name])
            Image.new('RGB', (60 + 30 * (k == 1), 40 + 20 * (k == 1)), color).save(
                path, pnginfo=info, exif=Image.Exif(), icc_profile=f'profile of {name}'.encode()
            )
    return [(name, tmp_path / name) for name in NAMES]


@pytest.fixture
def study(methods, tmp_path):
    make_study(methods, tmp_path / 'study', images=6, seed=3)
    return tmp_path / 'study'


def key_of(study):
    return json.loads((study / 'key.json').read_text())


def page_data(study):
    """Return the data that the page's script reads."""

    class Page(HTMLParser):
        inside, text, outside = False, '', []

        def handle_starttag(self, tag, attrs):
            self.inside = dict(attrs).get('id') == 'study'
            found = dict(attrs).get('src') or dict(attrs).get('href')
            self.outside += [found] if found else []

        def handle_data(self, data):
            self.text += data if self.inside else ''

        def handle_endtag(self, tag):
            self.inside = False

    page = Page()
    page.feed((study / 'page' / 'index.html').read_text())
    assert not page.outside, 'complete in itself'
    return json.loads(page.text)


def answers(study, participant, choose):
    """Return a file as the page saves it; `choose` selects one of the methods in order."""
    data, key = page_data(study), key_of(study)
    orders = {image['image']: image['order'] for image in key['images']}
    choices = [
        dict(image=image, choice=data['choices'][orders[image].index(choose(orders[image]))])
        for image in data['images']
    ]
    content = dict(format=data['format'], study=data['study'])
    return dict(content, participant=participant, answers=choices)


def saved(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def test_page_does_not_reveal_the_methods(study):
    files = [path for path in (study / 'page').rglob('*') if path.is_file()]
    assert len(files) == 1 + 6 * 3
    for path in files:
        content = path.read_bytes().lower()
        assert b'secret' not in content
        assert b'class' not in content or path.suffix == '.html'
        assert re.fullmatch(r'index\.html|\d{3}-[abc]\.png', path.name)
    pictures = [Image.open(path) for path in files if path.suffix == '.png']
    assert not any(picture.info for picture in pictures)
    assert {(picture.size, picture.mode) for picture in pictures} == {((90, 60), 'RGB')}
    text = (study / 'page' / 'index.html').read_text()
    assert 'http' not in text, 'no network'


def test_key_maps_images_to_methods(study, methods):
    key, data = key_of(study), page_data(study)
    assert data['study'] == key['study']
    assert data['images'] == [image['image'] for image in key['images']]
    assert data['choices'] == ['a', 'b', 'c']
    assert not data['gray']
    assert len({image['picture'] for image in key['images']}) == 6
    for image in key['images']:
        number = int(image['picture'].rpartition('/')[2])
        for choice, name in zip(data['choices'], image['order'], strict=True):
            picture = Image.open(study / 'page' / 'images' / f'{image["image"]}-{choice}.png')
            assert picture.getpixel((5, 5)) == tuple(c + number for c in COLORS[name])


def test_the_seed_decides_order_and_draw(methods, tmp_path):
    made = {}
    for name, seed in (('one', 0), ('same', 0), ('other', 1)):
        made[name] = make_study(methods, tmp_path / name, images=8, seed=seed)
    assert made['one'] == made['same'] != made['other']
    keys = {name: key_of(tmp_path / name)['images'] for name in made}
    assert keys['one'] == keys['same'] != keys['other']
    firsts = {image['order'][0] for image in keys['one']}
    assert len(firsts) > 1
    assert [image['picture'] for image in keys['one']] != sorted(i['picture'] for i in keys['one'])


def test_photos_are_shown_gray_and_give_their_shape(methods, tmp_path):
    for i in range(8):
        path = tmp_path / 'photos' / f'class{i % 2}' / f'{i}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (80, 160), (220, 40, 90)).save(path)
    make_study(methods, tmp_path / 'study', images=2, gray=tmp_path / 'photos', height=50)
    assert page_data(tmp_path / 'study')['gray']
    files = sorted((tmp_path / 'study/page/images').iterdir())
    assert [path.name for path in files[:4]] == [f'001-{c}.png' for c in ('a', 'b', 'c', 'gray')]
    assert {Image.open(path).size for path in files} == {(25, 50)}
    pixels = np.asarray(Image.open(files[3])).astype(int)
    assert np.ptp(pixels, axis=-1).max() <= 1


def test_choices_are_counted(study, tmp_path):
    folder = tmp_path / 'answers'
    favorite = NAMES[1]
    saved(folder / '1.json', answers(study, 'aa', lambda order: favorite))
    saved(folder / '2.json', answers(study, 'bb', lambda order: order[0]))
    result = score(study / 'key.json', [folder])
    firsts = [image['order'][0] for image in key_of(study)['images']]
    assert result.participants == ['aa', 'bb']
    assert result.comparisons == 12
    assert list(result.methods) == NAMES
    for name, method in result.methods.items():
        counts = [6 * (name == favorite), firsts.count(name)]
        assert method.chosen == sum(counts)
        assert method.share == pytest.approx(sum(counts) / 12)
        assert method.by_participant == pytest.approx([count / 6 for count in counts])
        low, high = method.interval
        assert low <= method.share <= high
        assert low < high
    wider = score(study / 'key.json', [folder], confidence=0.99)
    assert wider.methods[favorite].interval[0] < result.methods[favorite].interval[0]
    picture = boxplot(result)
    assert picture.startswith(b'\x89PNG')


@pytest.mark.parametrize('alike', ['images', 'participants'])
def test_choices_that_depend_on_each_other_do_not_narrow_the_interval(methods, tmp_path, alike):
    """If all agree, 40 people say as much as one; if all like one method only, 8 images do."""
    make_study(methods, tmp_path / 'study', images=8)
    votes = [NAMES[0]] * 4 + [NAMES[1]] * 4
    for i in range(40 if alike == 'images' else 8):
        choices = iter(votes if alike == 'images' else [votes[i]] * 8)
        content = answers(tmp_path / 'study', f'p{i}', lambda order, left=choices: next(left))
        saved(tmp_path / 'all' / f'{i}.json', content)
    result = score(tmp_path / 'study' / 'key.json', [tmp_path / 'all'])
    # Of 8 fair coins, 1 to 7 show heads in at least 95% of all cases, 2 to 6 in 93%.
    assert result.methods[NAMES[0]].interval == pytest.approx((1 / 8, 7 / 8))
    assert result.methods[NAMES[2]].interval == (0, 0)


def test_each_method_has_each_place_equally_often(methods, tmp_path):
    make_study(methods, tmp_path / 'study', images=6)
    orders = [image['order'] for image in key_of(tmp_path / 'study')['images']]
    for place in zip(*orders, strict=True):
        assert Counter(place) == dict.fromkeys(NAMES, 2)


BAD = {
    'other study': (dict(study='x'), r'belongs to another study: x, not'),
    'format': (dict(format='x'), r'is not a study answers file: its format is not'),
    'unknown': (lambda a: [dict(a[0], image='099'), *a[1:]], r'1 unknown images \(099\); 1 images'),
    'twice': (lambda a: [*a, a[0]], r'match the study: 1 images answered twice \(001\)$'),
    'missing': (lambda a: a[2:], r'2 images without an answer \(001, 002\)'),
    'choice': (lambda a: [dict(a[0], choice='d'), *a[1:]], r'1 unknown choices \(d\)'),
    'empty choice': (lambda a: [dict(a[0], choice=''), *a[1:]], r'1 unknown choices'),
    'number': (lambda a: [dict(a[0], choice=1), *a[1:]], r'choices are missing or invalid'),
    'no list': (dict(answers=3), r'choices are missing or invalid'),
    'no dicts': (dict(answers=[3]), r'choices are missing or invalid'),
    'nobody': (dict(participant=None), r'choices are missing or invalid'),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_answers_are_reported_in_one_line(study, tmp_path, case):
    change, message = BAD[case]
    content = answers(study, 'aa', lambda order: order[0])
    content.update(change if isinstance(change, dict) else dict(answers=change(content['answers'])))
    path = saved(tmp_path / 'bad.json', content)
    with pytest.raises(UserError, match=message) as error:
        score(study / 'key.json', [path])
    assert str(error.value).startswith(str(path))
    assert '\n' not in str(error.value)


def test_files_without_answers_are_reported_in_one_line(study, tmp_path):
    good = saved(tmp_path / 'good.json', answers(study, 'aa', lambda order: order[0]))
    cases = {
        'again.json': (good.read_text(), r'good.json and .*again.json have the same participant'),
        'text.json': ('hello', r'text.json is not a study answers file: Expecting value'),
        'list.json': ('[1]', r'list.json is not a study answers file: its format'),
        'deep.json': ('[' * 100_000, r'deep.json is not a study answers file'),
    }
    for name, (text, message) in cases.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(UserError, match=message):
            score(study / 'key.json', [good, tmp_path / name])
    with pytest.raises(UserError, match=r'cannot read .*nowhere'):
        score(study / 'key.json', [tmp_path / 'nowhere'])
    (tmp_path / 'none').mkdir()
    with pytest.raises(UserError, match='no answers'):
        score(study / 'key.json', [tmp_path / 'none'])
    with pytest.raises(UserError, match='is not a study key file'):
        score(good, [good])
    with pytest.raises(UserError, match='confidence=95'):
        score(study / 'key.json', [good], confidence=95)
    key = key_of(study)
    key['images'][0]['order'].pop()
    with pytest.raises(UserError, match='is damaged: make the study again'):
        score(saved(tmp_path / 'key.json', key), [good])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(images=9), r'only 8 images in common, but --images is 9$'),
        (dict(images=0), r'images=0'),
        (dict(height=0), r'height=0'),
        (dict(methods=1), r'methods=.* is invalid: it must be 2 to 9'),
        (dict(methods='double'), r"two methods have the name 'Secret One'"),
        (dict(gray='Nowhere'), r'does not exist'),
        (dict(extra='shape'), r'pass --gray PHOTOS to set the shape'),
        (
            dict(extra='less'),
            r'only 7 images in common, but --images is 8 \(not in all: class0/0\)',
        ),
        (dict(extra='damaged'), r'class0/0\.png: '),
        (dict(extra='there'), r'study exists: choose a new folder'),
    ],
)
def test_studies_that_cannot_be_made_leave_nothing(methods, tmp_path, options, message):
    output = tmp_path / 'new' / 'study'
    output.parent.mkdir()
    options = dict(dict(images=8), **options)
    extra, count = options.pop('extra', None), options.pop('methods', None)
    first = methods[0][1] / 'class0' / '0.png'
    if extra == 'shape':
        Image.new('RGB', (40, 40)).save(first)
    elif extra == 'less':
        first.unlink()
    elif extra == 'damaged':
        first.write_bytes(first.read_bytes()[:50])
    elif extra == 'there':
        output.mkdir()
    if count is not None:
        methods = methods[:1] if count == 1 else [*methods, methods[0]]
    if 'gray' in options:
        options['gray'] = tmp_path / options['gray']
    with pytest.raises(UserError, match=message):
        make_study(methods, output, **options)
    assert list(tmp_path.glob('new/*')) == ([output] if extra == 'there' else [])
    assert not list(tmp_path.glob('new/.*'))


def test_a_question_is_text(methods, tmp_path):
    question = 'Which is </script><b>best</b> & "finest"?'
    make_study(methods, tmp_path / 'study', images=1, question=question)
    assert page_data(tmp_path / 'study')['question'] == question


def test_the_tool_makes_and_scores(methods, tmp_path, monkeypatch, capsys):
    def run(*args):
        monkeypatch.setattr(sys, 'argv', [str(arg) for arg in (TOOL, *args)])
        return runpy.run_path(str(TOOL))['main'](), *capsys.readouterr()

    study = tmp_path / 'study'
    folders = [f'{name}={folder}' for name, folder in methods]
    status, said, _ = run('make', *folders, '-o', study, '--images', 4)
    assert status == 0
    assert f'{study}/page' in said
    saved(tmp_path / 'a' / '1.json', answers(study, 'aa', lambda order: NAMES[2]))
    out, plot = tmp_path / 'figures.json', tmp_path / 'plot.png'
    options = ('--out', out, '--boxplot', plot)
    status, said, _ = run('score', study / 'key.json', tmp_path / 'a', *options)
    assert status == 0
    assert '100.0%' in said
    figures = json.loads(out.read_text())
    assert figures['methods']['secret3']['chosen'] == figures['comparisons'] == 4
    assert Image.open(plot).width > 300
    status, _, said = run('score', study / 'key.json', study / 'key.json')
    assert status == 2
    assert said.count('\n') == 1
    assert said.startswith('error: ')
