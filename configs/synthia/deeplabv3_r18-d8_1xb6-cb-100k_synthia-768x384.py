_base_ = './deeplabv3_r18-d8_1xb6-ce-100k_synthia-768x384.py'
# beta = 1 - 1/N, N pixels in the training set, as in the paper's released code.
beta = 1 - 1 / (4400 * 1280 * 760)
model = dict(
    decode_head=dict(
        loss_decode=dict(_delete_=True, type='ClassBalancedLoss', class_counts='auto', beta=beta)
    )
)
