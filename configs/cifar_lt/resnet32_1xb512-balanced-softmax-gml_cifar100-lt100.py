# No One Left Behind, Table 6: BSCE + GML.
_base_ = './resnet32_1xb512-gml_cifar100-lt100.py'
load_from = 'work_dirs/resnet32_1xb128-balanced-softmax_cifar100-lt100/epoch_200.pth'
model = dict(head=dict(ensemble=False))
