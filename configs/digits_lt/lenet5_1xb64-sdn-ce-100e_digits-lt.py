_base_ = './lenet5_1xb64-sdn-recall-100e_digits-lt.py'
model = dict(head=dict(feature_loss=dict(_delete_=True, type='CrossEntropyLoss')))
