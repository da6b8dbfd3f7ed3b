_base_ = [
    './deeplabv3_r18-d8_1xb6-ce-100k_synthia-768x384.py',
    '../_base_/losses/cb_pixels.py',
]
# beta = 1 - 1/N, N pixels in the training set, as in the paper's released code.
loss = dict(_base_.loss, beta=1 - 1 / (4400 * 1280 * 760))
model = dict(decode_head=dict(loss_decode=loss))
