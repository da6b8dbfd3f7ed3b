_base_ = './resnet32_1xb128-sdn-ce-30e_cifar10-lt100-folder.py'
loss = dict(_delete_=True, type='RecallLoss', alpha=0.1, num_classes=10)
model = dict(head=dict(feature_loss=loss))
