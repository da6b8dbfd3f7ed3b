_base_ = './deeplabv3_r18-d8_1xb6-ce-90k_cityscapes-769x769.py'
# beta = 1 - 1/N, N pixels in the training set, as in the paper's released code.
beta = 1 - 1 / (2975 * 2048 * 1024)
model = dict(
    decode_head=dict(
        loss_decode=dict(_delete_=True, type='ClassBalancedLoss', class_counts='auto', beta=beta)
    )
)
