# LVIS v0.5, its images of COCO 2017 in MMDetection's layout; rare categories are shown more often
# (repeat factor sampling). The root is data/lvis_v0.5, or what the environment variable LVIS_ROOT
# names.
_base_ = 'mmdet::_base_/datasets/lvis_v0.5_instance.py'
data_root = '{{$LVIS_ROOT:data/lvis_v0.5}}'
train_dataloader = dict(dataset=dict(dataset=dict(data_root=data_root)))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=f'{data_root}/annotations/lvis_v0.5_val.json')
test_evaluator = val_evaluator
