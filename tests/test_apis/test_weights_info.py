import pytest
import torch
from safetensors.torch import save_file

from dualattn_mm.apis import save_generator
from dualattn_mm.apis.weights_info import weights_info
from dualattn_mm.utils.errors import UserError


def test_safetensors(tmp_path, two_convs):
    path = tmp_path / 'x.safetensors'
    save_generator(path, two_convs(), dict(type='TwoConvs', saturation=1.5), torch.float16)
    info = weights_info(path)
    assert info['file'] == str(path)
    assert (info['tensors'], info['values'], info['stored as']) == ('4', '50', 'float16')
    assert (info['network'], info['saturation']) == ('TwoConvs', '1.5')
    assert info['metadata generator'] == '{"type": "TwoConvs", "saturation": 1.5}'
    assert 'image size' not in info


def test_checkpoint(tmp_path, two_convs):
    path = tmp_path / 'iter_9.pth'
    meta = dict(epoch=0, iter=9, mmengine_version='0.10.7', cfg='long')
    torch.save(dict(meta=meta, state_dict=two_convs().state_dict(), optimizer={}), path)
    info = weights_info(path)
    assert (info['tensors'], info['values'], info['stored as']) == ('4', '50', 'float32')
    assert (info['metadata iter'], info['metadata mmengine_version']) == ('9', '0.10.7')
    assert 'metadata cfg' not in info


@pytest.mark.parametrize('content', [b'', b'12345678{', b'\xff' * 8 + b'{"a": 1}', b'no weights'])
def test_damaged_files_are_reported_in_one_line(tmp_path, content):
    path = tmp_path / 'x'
    path.write_bytes(content)
    with pytest.raises(UserError, match=str(path)) as error:
        weights_info(path)
    assert '\n' not in str(error.value)


def test_description_that_is_no_config_is_shown_as_it_is(tmp_path, two_convs):
    path = tmp_path / 'x.safetensors'
    tensors = {name: value.clone() for name, value in two_convs().state_dict().items()}
    save_file(tensors, path, {'generator': '[' * 50_000})
    info = weights_info(path)
    assert 'network' not in info
    assert info['metadata generator'].startswith('[[[')


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match='weights file none does not exist'):
        weights_info('none')
