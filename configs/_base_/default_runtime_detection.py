_base_ = 'mmdet::_base_/default_runtime.py'
custom_imports = dict(
    imports=['mmseg_recall', 'mmseg_recall.evaluation.lvis_api'], allow_failed_imports=False
)
runner_type = 'AnyDeviceRunner'  # several processes on CPU too
custom_hooks = [dict(type='ClassCountsHook')]  # for every class_counts='auto'
log_processor = dict(by_epoch=False)
