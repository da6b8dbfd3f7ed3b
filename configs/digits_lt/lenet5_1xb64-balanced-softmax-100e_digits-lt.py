_base_ = ['./lenet5_1xb64-ce-100e_digits-lt.py', '../_base_/losses/balanced_softmax.py']
model = dict(head=dict(loss={{_base_.loss}}))
