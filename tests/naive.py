"""Slow reference implementations of the networks: plain loops and NCHW, from the paper's equations.

Weights come as state dicts, so that the names of the specification are all that is shared.
"""

import math

import torch
import torch.nn.functional as F


def sub(state, prefix):
    """The part of a state dict below a prefix."""
    return {k[len(prefix) + 1 :]: v for k, v in state.items() if k.startswith(prefix + '.')}


def layer_norm(x, state):
    """Over the channels of (B, C, H, W)."""
    mean = x.mean(1, keepdim=True)
    var = ((x - mean) ** 2).mean(1, keepdim=True)
    x = (x - mean) / torch.sqrt(var + 1e-5)
    return x * state['weight'][:, None, None] + state['bias'][:, None, None]


def gelu(x):
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def linear(x, state):
    """A 1 x 1 projection of (B, C, H, W)."""
    return torch.einsum('oc,bchw->bohw', state['weight'], x) + state['bias'][:, None, None]


def softmax(logits):
    weights = torch.exp(logits - logits.amax(-1, keepdim=True))
    return weights / weights.sum(-1, keepdim=True)


def depthwise(x, state):
    """3 x 3 with zeros around the map, as a sum of nine shifted copies."""
    height, width = x.shape[-2:]
    around = x.new_zeros(*x.shape[:2], height + 2, width + 2)
    around[..., 1:-1, 1:-1] = x
    taps = [
        around[..., i : i + height, j : j + width] * state['weight'][:, 0, i, j, None, None]
        for i in range(3)
        for j in range(3)
    ]
    return sum(taps) + state['bias'][:, None, None]


def project_qkv(x, state):
    qkv = linear(x, sub(state, 'qkv'))
    if 'dwconv.weight' in state:
        qkv = depthwise(qkv, sub(state, 'dwconv'))
    return qkv.split(x.shape[1], dim=1)


def dilated_attention(x, state, window_size, head_dim):
    """Eq. 5 and 6: per image, window and head. Windows are strided slices of the map itself."""
    q, k, v = project_qkv(x, state)
    out = torch.full_like(x, float('nan'))  # a pixel that no window reaches would show
    step_h, step_w = (math.ceil(side / window_size) for side in x.shape[-2:])
    for n in range(len(x)):
        for a in range(step_h):
            for b in range(step_w):
                for c in range(0, x.shape[1], head_dim):
                    index = (n, slice(c, c + head_dim), slice(a, None, step_h))
                    index = (*index, slice(b, None, step_w))
                    qs, ks, vs = (t[index].flatten(1).T for t in (q, k, v))
                    weights = softmax(qs @ ks.T / math.sqrt(head_dim))
                    out[index] = (weights @ vs).T.reshape(out[index].shape)
    return linear(out, sub(state, 'proj'))


def channel_attention(x, state, group_dim, scale='channel'):
    """Eq. 3 and 4: per image and group."""
    q, k, v = project_qkv(x, state)
    channels, tokens = x.shape[1], x.shape[2] * x.shape[3]
    factor = {'channel': channels, 'group': group_dim, 'tokens': tokens}[scale] ** -0.5
    groups = []
    for c in range(0, channels, group_dim):
        qs, ks, vs = (t[:, c : c + group_dim] for t in (q, k, v))
        weights = softmax(torch.einsum('bihw,bjhw->bij', qs, ks) * factor)
        groups.append(torch.einsum('bij,bjhw->bihw', weights, vs))
    return linear(torch.cat(groups, dim=1), sub(state, 'proj'))


def half_block(x, state, kind, window_size, head_dim, group_dim, scale='channel'):
    attn = sub(state, 'attn')
    y = layer_norm(x, sub(state, 'norm1'))
    if kind in ('sda', 'da'):
        x = x + dilated_attention(y, attn, window_size, head_dim)
    else:
        group_dim = group_dim if kind == 'fca' else x.shape[1]
        x = x + channel_attention(y, attn, group_dim, scale)
    hidden = gelu(linear(layer_norm(x, sub(state, 'norm2')), sub(state, 'ffn.fc1')))
    return x + linear(hidden, sub(state, 'ffn.fc2'))


def encoder(x, state, depths, order, **sizes):
    """Section 1 of the specification: the normed map of every stage."""
    stem = sub(state, 'stem')
    convs = [k for k, v in stem.items() if v.dim() == 4]
    norms = [k.removesuffix('.weight') for k, v in stem.items() if v.dim() == 1 and 'weight' in k]
    for conv, norm, stride in zip(convs, norms, (2, 1), strict=True):
        x = F.conv2d(x, stem[conv], stride=stride, padding=1)
        x = gelu(layer_norm(x, sub(stem, norm)))
    outs = []
    for i, depth in enumerate(depths):
        down = sub(state, f'downsamples.{i}')
        x = layer_norm(x, sub(down, 'norm'))
        if i > 0:
            odd_h, odd_w = x.shape[-2] % 2, x.shape[-1] % 2
            grown = x.new_zeros(*x.shape[:2], x.shape[-2] + odd_h, x.shape[-1] + odd_w)
            grown[..., : x.shape[-2], : x.shape[-1]] = x
            x = grown
        x = F.conv2d(x, down['conv.weight'], down['conv.bias'], stride=2, padding=int(i == 0))
        for j in range(depth):
            for kind in order:
                block = sub(state, f'stages.{i}.blocks.{j}.{kind}')
                x = half_block(x, block, kind, **sizes)
        outs.append(layer_norm(x, sub(state, f'norm{i}')))
    return outs


def pixel_shuffle(x, factor):
    batch, channels, height, width = x.shape
    out = x.new_empty(batch, channels // factor**2, height * factor, width * factor)
    for c in range(channels):
        i, j = divmod(c % factor**2, factor)
        out[:, c // factor**2, i::factor, j::factor] = x[:, c]
    return out


def multi_head_attention(query, key, value, state, heads):
    """Standard attention with projections, one head after the other; all (B, N, d)."""
    in_weight, in_bias = state['in_proj_weight'].chunk(3), state['in_proj_bias'].chunk(3)
    q, k, v = (
        torch.einsum('od,bnd->bno', weight, x) + bias
        for x, weight, bias in zip((query, key, value), in_weight, in_bias, strict=True)
    )
    d = q.shape[-1] // heads
    outs = []
    for h in range(0, q.shape[-1], d):
        weights = softmax(q[..., h : h + d] @ k[..., h : h + d].mT / math.sqrt(d))
        outs.append(weights @ v[..., h : h + d])
    out = torch.cat(outs, dim=-1)
    return torch.einsum('od,bnd->bno', state['out_proj.weight'], out) + state['out_proj.bias']


def token_norm(z, state):
    return layer_norm(z.mT[..., None], state)[..., 0].mT


def color_kernels(memory_map, state, layers, heads):
    """Eq. 8 and 9, post-norm; the queries enter both attentions."""
    memory = memory_map.flatten(2).mT
    queries = state['queries']
    z = torch.zeros(len(memory), *queries.shape, dtype=memory.dtype)
    for i in range(layers):
        layer = sub(state, f'layers.{i}')
        out = multi_head_attention(z + queries, z + queries, z, sub(layer, 'self_attn'), heads)
        z = token_norm(z + out, sub(layer, 'norm1'))
        out = multi_head_attention(z + queries, memory, memory, sub(layer, 'cross_attn'), heads)
        z = token_norm(z + out, sub(layer, 'norm2'))
        hidden = gelu(z @ layer['ffn.fc1.weight'].T + layer['ffn.fc1.bias'])
        out = hidden @ layer['ffn.fc2.weight'].T + layer['ffn.fc2.bias']
        z = token_norm(z + out, sub(layer, 'norm3'))
    return token_norm(z, sub(state, 'norm'))
