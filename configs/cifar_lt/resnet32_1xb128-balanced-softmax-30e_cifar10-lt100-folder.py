_base_ = './resnet32_1xb128-ce-30e_cifar10-lt100-folder.py'
loss = dict(_delete_=True, type='BalancedSoftmaxLoss', class_counts='auto')
model = dict(head=dict(loss=loss))
