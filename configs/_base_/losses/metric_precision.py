loss = dict(_delete_=True, type='MetricWeightedLoss', metric='precision')
