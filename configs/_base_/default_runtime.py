custom_imports = dict(imports='mmseg_recall', allow_failed_imports=False)
default_scope = 'mmseg'
runner_type = 'AnyDeviceRunner'  # several processes on CPU too
custom_hooks = [dict(type='ClassCountsHook')]  # for every class_counts='auto'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(by_epoch=False)
log_level = 'INFO'
load_from = None
resume = False
