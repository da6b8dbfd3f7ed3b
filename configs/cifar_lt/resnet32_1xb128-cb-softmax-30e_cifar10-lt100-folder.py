_base_ = './resnet32_1xb128-ce-30e_cifar10-lt100-folder.py'
loss = dict(_delete_=True, type='ClassBalancedLoss', class_counts='auto', beta=0.9999)
model = dict(head=dict(loss=loss))
