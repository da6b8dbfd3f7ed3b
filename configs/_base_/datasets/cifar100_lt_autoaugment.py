# Long-tailed CIFAR-100 with AutoAugment and Cutout.
_base_ = ['./cifar100_lt.py', './pipelines/cifar_autoaugment.py']
train_dataloader = dict(dataset=dict(pipeline={{_base_.autoaugment_pipeline}}))
