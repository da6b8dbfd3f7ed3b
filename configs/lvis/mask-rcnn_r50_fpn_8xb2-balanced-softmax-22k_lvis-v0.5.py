# Balanced Softmax (Eq. 4), for the classifier alone on the frozen features of the softmax.
_base_ = [
    './mask-rcnn_r50_fpn_8xb2-softmax-90k_lvis-v0.5.py',
    '../_base_/losses/balanced_softmax.py',
]
model = dict(roi_head=dict(bbox_head=dict(loss_cls={{_base_.loss}})))
load_from = 'work_dirs/mask-rcnn_r50_fpn_8xb2-softmax-90k_lvis-v0.5/iter_90000.pth'
frozen = [
    *('backbone', 'neck', 'rpn_head', 'roi_head.mask_head'),
    *('roi_head.bbox_head.shared_fcs', 'roi_head.bbox_head.fc_reg'),
]
custom_hooks = [*_base_.custom_hooks, dict(type='FreezeHook', prefixes=frozen)]
# Of the authors' released configs.
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, end=1000),
    dict(type='MultiStepLR', by_epoch=False, milestones=[11000, 18000], gamma=0.1),
]
train_cfg = dict(max_iters=22000, val_interval=22000)
