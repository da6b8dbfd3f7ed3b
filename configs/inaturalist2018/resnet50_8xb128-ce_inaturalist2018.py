# As the class-balanced loss paper trained, Sec. 5.2.
_base_ = [
    '../_base_/models/resnet50.py',
    '../_base_/datasets/inaturalist2018.py',
    '../_base_/datasets/pipelines/bicubic_224px.py',
    '../_base_/schedules/imagenet_bs1024_90e.py',
    '../_base_/default_runtime_classification.py',
]
model = dict(head=dict(num_classes=8142))
train_dataloader = dict(dataset=dict(pipeline={{_base_.train_224px}}))
val_dataloader = dict(dataset=dict(pipeline={{_base_.test_224px}}))
test_dataloader = val_dataloader
val_evaluator = [
    dict(type='LongTailAccuracy', class_counts='auto'),
    dict(type='Accuracy', topk=(1, 5)),
]
test_evaluator = val_evaluator
