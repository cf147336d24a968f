package worker

import "time"

// SetMinLease lets a test work with leases that are shorter than a user's may be.
func SetMinLease(d time.Duration) { minLease = d }
