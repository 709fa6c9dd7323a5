"""init_cfg of type 'Pretrained': what fits is loaded, what does not is one clear line."""

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import PretrainedInit
from mmengine.registry import MODELS
from safetensors.torch import save_file

from dualattn_mm.models import DualAttention
from dualattn_mm.utils.checkpoint_file import READS_TRAINING_LOGS
from dualattn_mm.utils.errors import UserError

ARCH = dict(embed_dims=(32, 32, 32, 32), depths=(1, 1, 1, 1), stem_channels=8)


def encoder(file=None, prefix=None, **options):
    init_cfg = file and dict(type='Pretrained', checkpoint=str(file), prefix=prefix)
    return MODELS.build(dict(type='DualAttention', arch=ARCH, init_cfg=init_cfg, **options))


def changed(**arch):
    return DualAttention(ARCH | arch)


@pytest.fixture
def saved(tmp_path):
    def save(model, prefix=''):
        file = tmp_path / 'start.pth'
        state = {prefix + name: value for name, value in model.state_dict().items()}
        torch.save(dict(state_dict=state, meta={}), file)
        return file

    return save


@pytest.mark.parametrize('prefix', [None, 'backbone', 'backbone.'])
def test_all_is_loaded(saved, prefix):
    source = DualAttention(ARCH)
    file = saved(source, 'backbone.' if prefix else '')
    model = encoder(file, prefix)
    model.init_weights()
    for name, value in source.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_weights_for_color_images_start_an_encoder_for_gray_ones(saved):
    source = DualAttention(ARCH)
    model = encoder(saved(source, 'backbone.'), 'backbone.', in_channels=1, order=('fca', 'sda'))
    model.init_weights()
    gray = torch.randn(1, 1, 40, 40)
    swapped = DualAttention(ARCH, order=('fca', 'sda'))
    swapped.load_state_dict(source.state_dict())
    outs = zip(model(gray), swapped(gray.expand(-1, 3, -1, -1)), strict=True)
    for out, expected in outs:
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(RuntimeError, match='size mismatch'):
        model.load_state_dict(source.state_dict())


def test_a_class_as_type_is_checked_too(saved):
    file = saved(changed(depths=(1, 1, 1, 2)))
    init_cfg = dict(type=PretrainedInit, checkpoint=str(file))
    with pytest.raises(UserError, match=r'start\.pth does not fit DualAttention: '):
        DualAttention(ARCH, init_cfg=init_cfg).init_weights()


@pytest.mark.parametrize('prefix', ['module.backbone.', 'module.backbone'])
def test_prefix_of_a_wrapped_model(saved, prefix):
    source = DualAttention(ARCH)
    model = encoder(saved(source, 'module.backbone.'), prefix)
    model.init_weights()
    assert torch.equal(model.stem.conv1.weight, source.stem.conv1.weight)
    model = encoder(saved(source, 'module.backbone.'), 'backbone.')
    with pytest.raises(UserError, match='do not fit DualAttention: '):
        model.init_weights()


@pytest.mark.skipif(not READS_TRAINING_LOGS, reason='needs torch 2.5')
def test_weights_beside_the_log_of_mmengine_are_loaded(tmp_path):
    source = DualAttention(ARCH)
    file = tmp_path / 'epoch_1.pth'
    log = dict(log_scalars={'train/loss': HistoryBuffer([1.0], [1])})
    torch.save(dict(state_dict=source.state_dict(), message_hub=log), file)
    model = encoder(file)
    model.init_weights()
    assert torch.equal(model.stem.conv1.weight, source.stem.conv1.weight)


def test_a_checkpoint_that_states_its_fca_scale(tmp_path):
    """As those of davit_to_dualattn.py do: no weight depends on it."""
    source = DualAttention(ARCH, fca_scale='group')
    file = tmp_path / 'start.pth'
    torch.save(dict(state_dict=source.state_dict(), meta=dict(fca_scale='group')), file)
    with pytest.raises(UserError) as caught:
        encoder(file).init_weights()
    assert str(caught.value) == (
        f"{file} needs fca_scale='group', but the DualAttention has 'channel', with which the same "
        "weights compute something else: set fca_scale='group' beside init_cfg"
    )
    model = encoder(file, fca_scale='group')
    model.init_weights()
    assert torch.equal(model.stem.conv1.weight, source.stem.conv1.weight)


@pytest.mark.parametrize('prefix', [None, 'encoder.'])
def test_safetensors(tmp_path, prefix):
    source = DualAttention(ARCH)
    state = {(prefix or '') + name: value for name, value in source.state_dict().items()}
    file = tmp_path / 'model.safetensors'
    save_file(state, file)
    model = encoder(file, prefix)
    model.init_weights()
    assert torch.equal(model.stem.conv1.weight, source.stem.conv1.weight)
    save_file(state | {f'{prefix or ""}more': torch.ones(1)}, file)
    with pytest.raises(UserError, match=r'model\.safetensors do(es)? not fit .*: 1 unexpected'):
        encoder(file, prefix).init_weights()
    file.write_bytes(file.read_bytes()[:99])
    with pytest.raises(UserError, match=r'model\.safetensors is damaged: '):
        encoder(file, prefix).init_weights()


def test_folder_of_a_published_backbone(tmp_path):
    pytest.importorskip('huggingface_hub')
    source = DualAttention(ARCH, fca_scale='tokens')
    source.save_pretrained(tmp_path)
    file = tmp_path / 'model.safetensors'
    model = encoder(file, fca_scale='tokens')
    model.init_weights()
    assert torch.equal(model.norm3.weight, source.norm3.weight)
    with pytest.raises(UserError, match="needs fca_scale='tokens', but the DualAttention has 'ch"):
        encoder(file).init_weights()


@pytest.mark.parametrize('content', [[1], dict(meta=5), dict(state_dict=5)])
def test_other_contents(tmp_path, content):
    file = tmp_path / 'start.pth'
    torch.save(content, file)
    with pytest.raises(UserError, match=r'start\.pth is not a checkpoint: '):
        encoder(file).init_weights()


@pytest.mark.parametrize('init_cfg', ['{type=Pretrained}', [3], dict(checkpoint='x.pth')])
def test_init_cfg_of_another_type_is_reported(init_cfg):
    with pytest.raises(UserError, match='which is not a dict with a type'):
        DualAttention(ARCH, init_cfg=init_cfg).init_weights()


def test_outputs_of_a_classifier_and_of_a_detector_differ(saved):
    source = DualAttention(ARCH, out_indices=(3,), gap_before_final_norm=True)
    model = encoder(saved(source, 'backbone.'), 'backbone.')
    model.init_weights()
    assert torch.equal(model.stem.conv1.weight, source.stem.conv1.weight)
    assert torch.equal(model.norm0.weight, torch.ones(32))
    model = encoder(saved(DualAttention(ARCH)), out_indices=(1, 3))
    model.init_weights()


@pytest.mark.parametrize(
    ('source', 'said'),
    [
        (
            dict(embed_dims=(32, 32, 32, 64)),
            r'do not fit DualAttention: \d\d of another shape',
        ),
        (dict(depths=(1, 1, 2, 1)), r'\d+ unexpected \(stages.2.blocks.1.sda.+, \.\.\.\)'),
    ],
)
def test_checkpoint_of_another_size(saved, source, said):
    with pytest.raises(UserError, match=said):
        encoder(saved(changed(**source), 'backbone.'), 'backbone').init_weights()


def test_missing(saved):
    file = saved(changed())
    with pytest.raises(UserError, match=r'start.pth does not fit DualAttention: \d+ missing \(sta'):
        MODELS.build(
            dict(
                type='DualAttention',
                arch=ARCH | dict(depths=(1, 1, 2, 1)),
                init_cfg=dict(type='Pretrained', checkpoint=str(file)),
            )
        ).init_weights()


def test_forgotten_prefix(saved):
    with pytest.raises(
        UserError, match=r"start.pth does not fit .* prefix='backbone.' in init_cfg$"
    ):
        encoder(saved(changed(), 'backbone.')).init_weights()


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'none\.pth'):
        encoder(tmp_path / 'none.pth').init_weights()
