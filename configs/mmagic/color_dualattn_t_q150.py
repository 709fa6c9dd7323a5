# 150 color queries: the best row of Table IV.
_base_ = 'color_dualattn_t.py'

model = dict(generator=dict(num_queries=150))
