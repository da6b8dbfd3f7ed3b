_base_ = ['./resnet50_8xb128-ce_imagenet.py', '../_base_/losses/cb_focal.py']
# The bias starts at the prior, -log((1 - pi) / pi) with pi = 1/1000 (Sec. 5.2).
init_cfg = dict(type='Normal', layer='Linear', std=0.01, bias_prob=1 / 1000)
model = dict(head=dict(loss={{_base_.loss}}, init_cfg=init_cfg))
optim_wrapper = dict(optimizer=dict(lr=0.8))  # twice the rate of cross entropy (Sec. 5.2)
