_base_ = ['./deeplabv3_r18-d16_1xb8-ce-1200i_camvid-240x180.py', '../_base_/losses/ohem.py']
model = dict(decode_head=dict(loss_decode={{_base_.loss}}))
