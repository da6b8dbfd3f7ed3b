# The counts are of pixels: beta follows them (see the docstring).
loss = dict(_delete_=True, type='ClassBalancedLoss', class_counts='auto', beta=1 - 1e-7)
