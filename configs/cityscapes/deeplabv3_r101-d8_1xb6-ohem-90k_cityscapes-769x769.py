_base_ = ['./deeplabv3_r101-d8_1xb6-ce-90k_cityscapes-769x769.py', '../_base_/losses/ohem.py']
model = dict(decode_head=dict(loss_decode={{_base_.loss}}))
