# Balanced Meta-Softmax, Table 2: CBW, weights of inverse frequency.
_base_ = './resnet32_1xb512-ce_cifar10-lt100.py'
model = dict(head=dict(loss=dict(_delete_=True, type='InverseFrequencyLoss', class_counts='auto')))
