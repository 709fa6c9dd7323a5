"""The colorizer as an OpenMMLab model, with sRGB images as input and output."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from ...utils.checks import as_tuple, natural_numbers, require, require_natural, require_positive
from ...utils.color_space import join_lightness, rgb_to_lab
from ...utils.wrappers import unwrapped

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, Pillow's mode L
ADVERSARIAL = dict(type='WassersteinLoss')


class _Compiled:
    """Compile a function at its first call. Copies compile again, for their own networks."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = dict(options)
        self.function: Callable[..., Tensor] | None = None

    def __call__(self, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        if self.function is None:
            self.function = torch.compile(function, **self.options)
        return self.function(*inputs)

    def __reduce__(self) -> tuple:
        return _Compiled, (self.options,)


@MODELS.register_module()
class Colorizer(BaseModel):
    """Automatic colorization (Sec. III): predict the color of an image from its lightness.

    The network sees only the lightness, so a color image is both the input and the ground truth.

    With a critic, `optim_wrapper` has the keys 'generator' and 'critic', and a training step first
    trains the critic and then the generator on the same images.

    Args:
        generator: config of the network that maps lightness to ab.
        critic: config of the network that maps sRGB in [-1, 1] to one score per image; None trains
            without an adversarial loss.
        perceptual: config of a loss between two batches of sRGB images in [0, 1]; None disables it.
        adversarial: config of the loss on the critic's scores, with the signature of
            `WassersteinLoss` or mmagic's GANLoss.
        l1_weight: factor of the L1 loss on ab in CIELAB units (eq. 12; the paper's lambda is 0.1).
        color: config of another loss between predicted and true ab in CIELAB units, such as
            `RebalancedColorLoss`; None disables it.
        chroma: config of a `ChromaLoss` on the same values, beside another loss; None disables it.
        psnr: config of a `ColorfulPSNRLoss` on the same values; None disables it.
        distillation: config of a `FeatureDistillation` for the encoder of the generator. It cannot
            be combined with a critic.
        color_distillation: config of a `ColorDistillation`, with which the generator also learns
            from the predictions of trained colorizers; None disables it.
        luma_share: in [0, 1], the share of the training images of which the generator sees the
            luma, like that of a gray scan, instead of the exact CIELAB lightness.
        train_sizes: sides of the squares to which training images are resized. One of them is
            drawn at random in each step, so that the network works at several sizes. Empty trains
            at the size of the data. The teacher of a distillation, which then needs `shrink=1`,
            sees the images before they are resized.
        compile: arguments of torch.compile, such as dict(dynamic=False), for the generator in
            training without a critic; None does not compile. It is compiled again for each of
            `train_sizes`. mmengine's own `compile` key would also trace its optimizers and samples,
            whose values change in each step.
        n_critic: number of critic steps per generator step.
        weight_clip: the weights of the critic are clipped to [-weight_clip, weight_clip].
        data_preprocessor: config; the default batches uint8 RGB images and divides them by 255.
        init_cfg: mmengine's initialization.

    Raises:
        ValueError: if an argument is invalid.
    """

    def __init__(
        self,
        generator: Mapping[str, Any],
        critic: Mapping[str, Any] | None = None,
        perceptual: Mapping[str, Any] | None = None,
        adversarial: Mapping[str, Any] = ADVERSARIAL,
        l1_weight: float = 0.1,
        color: Mapping[str, Any] | None = None,
        chroma: Mapping[str, Any] | None = None,
        psnr: Mapping[str, Any] | None = None,
        distillation: Mapping[str, Any] | None = None,
        color_distillation: Mapping[str, Any] | None = None,
        luma_share: float = 0.0,
        train_sizes: Sequence[int] = (),
        compile: Mapping[str, Any] | None = None,
        n_critic: int = 1,
        weight_clip: float = 0.01,
        data_preprocessor: Mapping[str, Any] | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(
            data_preprocessor or dict(type='mmengine.ImgDataPreprocessor', mean=[0.0], std=[255.0]),
            init_cfg,
        )
        require(l1_weight >= 0, 'l1_weight', l1_weight, 'a number of at least 0')
        require(0 <= luma_share <= 1, 'luma_share', luma_share, 'a number in [0, 1]')
        require_positive(weight_clip=weight_clip)
        require_natural(n_critic=n_critic)
        train_sizes = as_tuple('train_sizes', train_sizes)
        self.train_sizes = natural_numbers('train_sizes', train_sizes) if train_sizes else ()
        self.generator = MODELS.build(dict(generator))
        self.critic = None if critic is None else MODELS.build(dict(critic))
        self.perceptual = None if perceptual is None else MODELS.build(dict(perceptual))
        self.adversarial = None if critic is None else MODELS.build(dict(adversarial))
        self.color = None if color is None else MODELS.build(dict(color))
        self.chroma = None if chroma is None else MODELS.build(dict(chroma))
        self.psnr = None if psnr is None else MODELS.build(dict(psnr))
        self.distillation = None if distillation is None else MODELS.build(dict(distillation))
        self.color_distillation = (
            None if color_distillation is None else MODELS.build(dict(color_distillation))
        )
        if self.distillation is not None:
            # Its projections would belong to neither of the two networks that are optimized.
            require(critic is None, 'critic', critic, 'None if distillation is set')
            self.generator.encoder.register_forward_hook(self._keep_maps)
            if train_sizes:
                shrink = self.distillation.shrink
                require(shrink == 1, 'distillation.shrink', shrink, '1 if train_sizes is set')
        require(compile is None or critic is None, 'critic', critic, 'None if compile is set')
        self.compiled = None if compile is None else _Compiled(compile)
        self._maps: tuple[Tensor, ...] = ()
        self._keeps_maps = False
        self.l1_weight = l1_weight
        self.luma_share = luma_share
        self.n_critic = n_critic
        self.weight_clip = weight_clip

    def forward(
        self,
        inputs: Tensor,
        data_samples: Sequence[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[BaseDataElement]:
        """Colorize, or compare with the colors of the inputs.

        Args:
            inputs: (B, 3, H, W), sRGB in [0, 1].
            data_samples: one per image, for the mode 'predict'; None makes new ones.
            mode: 'tensor', 'loss' or 'predict'.

        Returns:
            'tensor': (B, 3, H, W), sRGB in [0, 1]. 'loss': the generator's losses by name, and
            `ab_l1`, the mean of |Delta ab| in CIELAB units. 'predict': the samples with `pred_img`
            (3, H, W), RGB in [0, 255], also as `output.pred_img`.

        Raises:
            ValueError: for another mode.
        """
        if mode == 'loss':
            if self.distillation is not None:
                targets = self.distillation.targets(inputs)
                inputs = F.avg_pool2d(inputs, self.distillation.shrink)
            inputs = self._resized(inputs)
        lab = rgb_to_lab(inputs)
        if mode == 'loss':
            lightness = self._seen(inputs, lab[:, :1])
            self._keeps_maps = self.distillation is not None
            ab = (
                self._predict_ab(lightness)
                if self.compiled is None
                else self.compiled(self._predict_ab, lightness)
            )
            ab = ab.float()
            # Not kept between steps: they need memory, and the model could not be copied.
            maps, self._maps, self._keeps_maps = self._maps, (), False
            needed = self.perceptual is not None or self.critic is not None
            images = join_lightness(lab[:, :1], ab) if needed else None
            losses = self._losses(lab[:, 1:], ab, inputs, images)
            if self.color_distillation is not None:
                losses['loss_color_distillation'] = self.color_distillation(ab, lightness)
            if self.distillation is not None:
                losses['loss_distillation'] = self.distillation(maps, targets)
            return losses
        require(mode in ('tensor', 'predict'), 'mode', mode, "'tensor', 'loss' or 'predict'")
        images = join_lightness(lab[:, :1], self.generator(lab[:, :1]))
        if mode == 'tensor':
            return images
        if data_samples is None:
            data_samples = [BaseDataElement() for _ in images]
        for sample, image in zip(data_samples, images, strict=True):
            sample.pred_img = image * 255
            sample.output = BaseDataElement(pred_img=sample.pred_img)  # for mmagic's metrics
        return list(data_samples)

    def train_step(
        self, data: dict | tuple | list, optim_wrapper: OptimWrapper | OptimWrapperDict
    ) -> dict[str, Tensor]:
        """Train on a batch: the critic `n_critic` times, then the generator.

        Args:
            data: a batch from the data loader.
            optim_wrapper: has the keys 'generator' and 'critic'; without a critic, any wrapper.

        Returns:
            The values to log: the losses by name, `loss` (the sum for the generator) and `ab_l1`.

        Raises:
            ValueError: if there is a critic but no `optim_wrapper` for it.
        """
        if self.critic is None:
            return super().train_step(data, optim_wrapper)
        if not isinstance(optim_wrapper, OptimWrapperDict):
            raise ValueError("optim_wrapper needs the keys 'generator' and 'critic'")
        inputs = self._resized(self.data_preprocessor(data, training=True)['inputs'])
        wrapper = optim_wrapper['generator']
        with wrapper.optim_context(self.generator):
            lab = rgb_to_lab(inputs)
            lightness = self._seen(inputs, lab[:, :1])
            ab = self.generator(lightness).float()
            images = join_lightness(lab[:, :1], ab)
        # The critic steps do not change the generator, so its images can be used for both.
        for _ in range(self.n_critic):
            critic_loss = self._train_critic(inputs, images.detach(), optim_wrapper['critic'])
        with wrapper.optim_context(self.generator):
            losses = self._losses(lab[:, 1:], ab, inputs, images)
            if self.color_distillation is not None:
                losses['loss_color_distillation'] = self.color_distillation(ab, lightness)
        total, logs = self.parse_losses(losses)
        wrapper.update_params(total)
        return dict(logs, loss_critic=critic_loss)

    def state_dict(
        self, *, destination: dict | None = None, prefix: str = '', keep_vars: bool = False
    ) -> dict[str, Tensor]:
        """Return the weights under the same keys whether or not the networks are wrapped in DDP."""
        from mmengine.runner.checkpoint import get_state_dict

        return get_state_dict(self, destination, prefix, keep_vars)

    def _seen(self, images: Tensor, lightness: Tensor) -> Tensor:
        """Return the input of the generator: the lightness, or that of the luma of some images."""
        if not self.luma_share:
            return lightness
        # Not a matrix product, which autocast would compute in half precision.
        luma = (images * images.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
        of_luma = rgb_to_lab(luma.expand(-1, 3, -1, -1))[:, :1]
        chosen = torch.rand(len(images), device=images.device) < self.luma_share
        return torch.where(chosen[:, None, None, None], of_luma, lightness)

    def _predict_ab(self, lightness: Tensor) -> Tensor:
        return self.generator(lightness)

    def _resized(self, images: Tensor) -> Tensor:
        """Resize the images of a training step to one of `train_sizes`."""
        if not (self.training and self.train_sizes):
            return images
        # Python's generator, which RepeatableHook seeds equally in all processes: they would wait
        # for the one with the largest size.
        size = random.choice(self.train_sizes)
        return F.interpolate(images, (size, size), mode='bilinear', antialias=True)

    def _keep_maps(self, module: nn.Module, inputs: tuple, outputs: tuple[Tensor, ...]) -> None:
        if self._keeps_maps:
            self._maps = outputs

    def _losses(
        self, true_ab: Tensor, ab: Tensor, true_images: Tensor, images: Tensor | None
    ) -> dict[str, Tensor]:
        """Compute the losses of the generator."""
        l1 = F.l1_loss(ab, true_ab)
        losses = dict(loss_l1=self.l1_weight * l1, ab_l1=l1.detach())
        if self.color is not None:
            losses['loss_color'] = self.color(ab, true_ab)
        if self.chroma is not None:
            losses['loss_chroma'] = self.chroma(ab, true_ab)
        if self.psnr is not None:
            losses['loss_psnr'] = self.psnr(ab, true_ab)
        if self.perceptual is not None:
            losses['loss_perceptual'] = self.perceptual(images, true_images)
        if self.critic is not None:
            assert self.adversarial is not None  # it comes with a critic, as the images do
            assert images is not None
            # Bypass DDP, because this step needs no gradients of the critic.
            critic = unwrapped(self.critic).requires_grad_(False)
            losses['loss_adversarial'] = self.adversarial(critic(2 * images - 1), True)
            critic.requires_grad_(True)
        return losses

    def _train_critic(self, real: Tensor, fake: Tensor, wrapper: OptimWrapper) -> Tensor:
        assert self.critic is not None
        assert self.adversarial is not None
        with wrapper.optim_context(self.critic):
            # One call, as DDP requires; the network does not mix the images of a batch.
            scores = self.critic(2 * torch.cat((real, fake)) - 1)
            of_real, of_fake = scores.chunk(2)
            loss = self.adversarial(of_real, True, is_disc=True)
            loss = loss + self.adversarial(of_fake, False, is_disc=True)
        wrapper.update_params(loss)
        if wrapper.should_update():  # otherwise gradients are still being accumulated
            with torch.no_grad():
                for parameter in self.critic.parameters():
                    parameter.clamp_(-self.weight_clip, self.weight_clip)
        return loss.detach()
