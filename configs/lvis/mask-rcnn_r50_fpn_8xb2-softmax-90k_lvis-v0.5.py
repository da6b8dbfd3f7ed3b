# Balanced Meta-Softmax, Table 4: Softmax.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/lvis_v0.5.py',
    '../_base_/schedules/lvis_90k.py',
    '../_base_/default_runtime_detection.py',
]
model = dict(
    roi_head=dict(bbox_head=dict(num_classes=1230), mask_head=dict(num_classes=1230)),
    test_cfg=dict(rcnn=dict(score_thr=0.0001, max_per_img=300)),  # LVIS's limit
)
custom_hooks = [dict(type='ClassCountsHook', count='images')]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000, max_keep_ckpts=1))
