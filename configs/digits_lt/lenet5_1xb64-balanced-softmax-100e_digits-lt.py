_base_ = './lenet5_1xb64-ce-100e_digits-lt.py'
loss = dict(_delete_=True, type='BalancedSoftmaxLoss', class_counts='auto')
model = dict(head=dict(loss=loss))
