_base_ = ['./deeplabv3_r18-d8_1xb6-ce-90k_cityscapes-769x769.py', '../_base_/losses/focal.py']
model = dict(decode_head=dict(loss_decode={{_base_.loss}}))
