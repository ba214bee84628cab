package job

// FairByOrganization is the value of QueueSettings.FairBy for a fair queue; "" means first come, first
// served.
const FairByOrganization = fieldOrganizationID

// IsPlain reports whether publishing to the queue needs no checks and no replicas, so that a plain XADD does.
func (c QueueSettings) IsPlain() bool {
	return c.FairBy == "" && !c.UniqueJobs && c.MaxLength == 0 && c.WaitReplicas == 0
}

// HasInFlightLimit reports whether the queue limits the tasks of an organization in flight. The scheduler
// then needs to know when a task is settled.
func (c QueueSettings) HasInFlightLimit() bool {
	return c.FairBy != "" && (c.FairMaxInFlight > 0 || len(c.FairMaxInFlightOf) > 0)
}

func (c QueueSettings) validateFairness(field string) error {
	if c.FairBy != "" && c.FairBy != FairByOrganization {
		return Invalid(field+".fair_by", "is %q, want %q, or nothing for first come, first served", c.FairBy, FairByOrganization)
	}
	if c.FairBy == "" && (c.FairAhead != 0 || c.FairMaxInFlight != 0 || c.FairWeights != nil || c.FairMaxInFlightOf != nil) {
		return Invalid(field+".fair_by", "is needed by the other settings that begin with fair; want %q", FairByOrganization)
	}
	for org, weight := range c.FairWeights {
		if !(weight >= 0.001 && weight <= 1000) { // false for NaN too
			return Invalid(field+".fair_weights", "gives %q the weight %v, want 0.001 to 1000", Clip(org), weight)
		}
	}
	for org, n := range c.FairMaxInFlightOf {
		if n < 0 || n > maxCount {
			return Invalid(field+".fair_max_in_flight_of", "allows %q %d, want 1 to %d, or 0 for any number", Clip(org), n, maxCount)
		}
	}
	if c.FairAhead < 0 || c.FairAhead > MaxBatch {
		return Invalid(field+".fair_ahead", "is %d, want 1 to %d, or 0 for the default", c.FairAhead, MaxBatch)
	}
	return nil
}
