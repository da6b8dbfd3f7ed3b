_base_ = './deeplabv3_r18-d8_1xb6-recall-100k_synthia-768x384.py'
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
