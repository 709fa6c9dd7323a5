"""Share networks on the Hugging Face Hub, or in local folders of the same layout."""

import inspect
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from ..utils.atomic import atomic_write_bytes
from ..utils.checkpoint_file import read_safetensors, state_differences
from ..utils.errors import UserError, first_line, summarize
from ..utils.libraries import library
from .network_schema import SHARED

Network = TypeVar('Network', bound='HubMixin')
# The `format` of weights files for `dualattn colorize`, among which are those written here.
GENERATOR_FORMAT = 'dualattn_mm.generator.v1'
WEIGHTS = 'model.safetensors'
# What a downloaded config may build: mmengine's registry would import any module.
_PARTS = ('DualAttention', 'PixelShuffleNeck', 'ColorAttention')
_CARD = """---
{{ card_data }}
---

# {{ network }}

```python
from dualattn_mm import {{ network }}

network = {{ network }}.from_pretrained('FOLDER OR REPOSITORY')
```

A network of dualattn_mm, a plugin of OpenMMLab. The weights are a safetensors
file, and `config.json` holds the arguments of the network.
"""


class HubMixin:
    """`from_pretrained`, `save_pretrained` and `push_to_hub`, by huggingface_hub's mixin.

    huggingface_hub is imported only when they are called. Weights are safetensors files, never
    pickles.

    hub_tag: the task of the network, by the Hub's names.
    hub_settings: the arguments that are attributes, which can be changed later. Files get the
        present values.
    """

    hub_tag = ''
    hub_settings: tuple[str, ...] = ()
    hub_config: dict[str, Any]
    __signature__: inspect.Signature

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # Otherwise inspect reports the parameters of __new__.
        init = inspect.signature(cls.__init__)
        cls.__signature__ = init.replace(parameters=[*init.parameters.values()][1:])

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        self = super().__new__(cls)
        config = cls.__signature__.bind_partial(*args, **kwargs).arguments
        for parameter in cls.__signature__.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                config.update(config.pop(parameter.name, {}))
        config.pop('init_cfg', None)  # it names files of this machine
        object.__setattr__(self, 'hub_config', config)  # nn.Module's needs its __init__ first
        return self

    @classmethod
    def from_pretrained(cls: type[Network], source: str | Path, **options: Any) -> Network:
        """Load a network from a folder of `save_pretrained`, or from a repository on the Hub.

        Args:
            source: the folder, or the name of the repository.
            options: those of `huggingface_hub.ModelHubMixin.from_pretrained`, for example
                `revision` and `local_files_only`; and arguments of the network in place of those in
                its config.

        Returns:
            The network in evaluation mode.

        Raises:
            UserError: if huggingface_hub is not installed, if an option is unknown, or if the files
                do not describe such a network; weights must fit exactly.
        """
        network = _with_hub(cls).from_pretrained(source, **options)
        network.__class__ = cls
        return network

    def save_pretrained(
        self, folder: str | Path, *, license: str = 'unknown', **options: Any
    ) -> str | None:
        """Write `model.safetensors`, `config.json` and a model card into a folder.

        The weights of a colorizer are also a file for `dualattn colorize --weights`.

        Args:
            folder: the folder, which is created if it is missing; a card in it is kept.
            license: the license of the weights for the card, by the Hub's names.
            options: those of `huggingface_hub.PyTorchModelHubMixin.save_pretrained`.

        Raises:
            UserError: if huggingface_hub is not installed.
            OSError: if a file cannot be written.
        """
        return self._on_hub('save_pretrained', folder, license, options)

    def push_to_hub(
        self, repository: str, *, license: str = 'unknown', **options: Any
    ) -> str | None:
        """Upload what `save_pretrained` writes to a repository on the Hub.

        Args:
            repository: its name, USER/NAME.
            license: as in `save_pretrained`.
            options: those of `huggingface_hub.PyTorchModelHubMixin.push_to_hub`, for example
                `private` and `token`.

        Raises:
            UserError: if huggingface_hub is not installed.
        """
        return self._on_hub('push_to_hub', repository, license, options)

    def _on_hub(
        self, method: str, target: str | Path, license: str, options: dict[str, Any]
    ) -> str | None:
        hub = _with_hub(type(self), license)
        settings = {name: getattr(self, name) for name in self.hub_settings}
        config = json.loads(json.dumps({**self.hub_config, **settings}))
        _check_limits(type(self).__name__, config)  # what is written can also be loaded
        twin = object.__new__(hub)
        # The same modules and parameters.
        twin.__dict__.update(self.__dict__, hub_config=config)
        card = {'network': type(self).__name__, **options.pop('model_card_kwargs', {})}
        return getattr(twin, method)(target, config=config, model_card_kwargs=card, **options)


def _with_hub(network: type[HubMixin], license: str = 'unknown') -> Any:
    """Return a subclass of a network that also is one of huggingface_hub's mixin."""
    mixin = library('huggingface_hub', 'sharing networks', 'huggingface_hub').PyTorchModelHubMixin
    about = dict(
        library_name='dualattn_mm',
        license=license,
        pipeline_tag=network.hub_tag,
        model_card_template=_CARD,
    )
    methods = dict(
        __init__=network.__init__,  # the mixin reads its signature
        __new__=lambda cls, *args, **kwargs: network.__new__(cls, *args, **kwargs),
        _save_pretrained=_save,
        _from_pretrained=classmethod(_load),
    )
    return types.new_class(
        network.__name__, (mixin, network), about, lambda names: names.update(methods)
    )


def _save(network: Any, folder: Path) -> None:
    """Write the weights; those of a colorizer describe their network as `save_generator` does.

    Those of a backbone state what `init_cfg` of type 'Pretrained' has to compare.
    """
    from safetensors.torch import save

    kind, state = type(network).__name__, network.state_dict()
    tensors = {name: value.cpu().contiguous() for name, value in state.items()}
    metadata = {'fca_scale': network.fca_scale} if hasattr(network, 'fca_scale') else None
    if kind == 'MultiscalePyramidTransformer':
        description = json.dumps({'type': kind, **network.hub_config})
        metadata = {'format': GENERATOR_FORMAT, 'generator': description}
    atomic_write_bytes(folder / WEIGHTS, save(tensors, metadata))


def _load(cls: Any, *, model_id: str, **arguments: Any) -> Any:
    """Build the network and load its weights; `arguments` are those of both and of a download."""
    config = {name: arguments.pop(name) for name in _arguments(cls) if name in arguments}
    # `map_location` and `strict` of PyTorchModelHubMixin are not among these.
    if unknown := arguments.keys() - inspect.signature(cls.from_pretrained).parameters.keys():
        raise UserError(
            f'{", ".join(sorted(unknown))}: neither an option of from_pretrained nor an argument '
            f'of {cls.__name__}; weights always have to fit, and the method `to` moves the network'
        )
    path = Path(model_id, WEIGHTS)
    if not Path(model_id).is_dir():
        downloaded = library('huggingface_hub').hf_hub_download(model_id, WEIGHTS, **arguments)
        path = Path(downloaded)
    elif not path.is_file():
        raise UserError(f'{model_id} has no {WEIGHTS}, so save_pretrained did not write it')
    state, _ = read_safetensors(path)
    try:
        _require_known(config)
        _check_limits(cls.__name__, config)
        with torch.device('meta'):  # without memory, to check that the weights fit
            own = cls(**config).state_dict()
        if differences := summarize(state_differences(own, state)):
            raise UserError(differences)
        network: nn.Module = cls(**config)
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(
            f'{path} and its config.json are not those of a {cls.__name__}: {first_line(error)}'
        ) from None
    network.load_state_dict(state, strict=True)
    return network.eval()


def _check_limits(kind: str, config: Mapping[str, Any]) -> None:
    if check := SHARED.get(kind):
        check(kind, {'type': kind, **config})


def _arguments(network: type[HubMixin]) -> list[str]:
    """Return the names of a network's arguments, also of those that it passes to its base."""
    names: list[str] = []
    for base in network.__mro__:
        if signature := vars(base).get('__signature__'):
            names += signature.parameters
            if not any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values()):
                break
    return names


def _require_known(config: Mapping[str, Any]) -> None:
    """Reject parts of other types in a downloaded config."""
    for name, value in config.items():
        if name == 'init_cfg' and value:  # it can name any file and module
            raise UserError('init_cfg is not accepted from a config.json: delete it')
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, Mapping):
                if '_scope_' in part or part.get('type', _PARTS[0]) not in _PARTS:
                    raise UserError(f'{name}.type must be one of {", ".join(_PARTS)}')
                _require_known(part)
