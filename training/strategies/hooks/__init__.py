"""What replaces the all-reduce of DistributedDataParallel: functions of a state and a bucket of gradients."""
