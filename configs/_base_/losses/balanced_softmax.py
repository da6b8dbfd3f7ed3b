loss = dict(_delete_=True, type='BalancedSoftmaxLoss', class_counts='auto')
