# No One Left Behind, Table 8: without re-weighting, plain softmax.
_base_ = './resnet32_1xb512-gml_cifar100-lt100.py'
model = dict(head=dict(loss=dict(class_counts=None), ensemble=False))
