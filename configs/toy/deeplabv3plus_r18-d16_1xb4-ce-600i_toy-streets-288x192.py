_base_ = [
    '../_base_/models/deeplabv3plus_r18-d16.py',
    '../_base_/datasets/toy_streets_288x192.py',
    '../_base_/schedules/schedule_adam_600.py',
    '../_base_/default_runtime.py',
]
custom_imports = dict(
    imports=['mmseg_recall', 'mmseg_recall_toy_streets'],  # projects/toy_streets
    allow_failed_imports=False,
)
model = dict(
    data_preprocessor=dict(size=(192, 288)),  # height, width
    decode_head=dict(num_classes=10),
)
optim_wrapper = dict(optimizer=dict(lr=3e-3))
randomness = dict(seed=0)
