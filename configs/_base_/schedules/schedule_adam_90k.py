# The recall loss paper's on Cityscapes (A.2): Adam 1e-4 without annealing.
_base_ = './schedule_adam_100k.py'
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(max_iters=90000)
