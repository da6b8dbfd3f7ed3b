_base_ = './deeplabv3_r18-d8_1xb6-recall-90k_cityscapes-769x769.py'
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
