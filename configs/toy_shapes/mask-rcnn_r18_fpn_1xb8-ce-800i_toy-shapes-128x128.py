_base_ = [
    '../_base_/models/mask-rcnn_r18_fpn_small.py',
    '../_base_/datasets/toy_shapes.py',
    '../_base_/schedules/toy_shapes_800i.py',
    '../_base_/default_runtime_detection.py',
]
model = dict(roi_head=dict(bbox_head=dict(num_classes=15), mask_head=dict(num_classes=15)))
default_hooks = dict(
    logger=dict(interval=10), checkpoint=dict(by_epoch=False, interval=100, max_keep_ckpts=1)
)
randomness = dict(seed=0)
