package job

// FairByOrganization is what QueueConfig.FairBy can be, beside "".
const FairByOrganization = fieldOrganizationID

// NonNilMap makes a map an object in JSON in any case.
func NonNilMap[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// HasInFlightLimit is true when it matters when a task is settled.
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
		if !(weight >= 0.001 && weight <= 1000) {
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

// IsPlain is true of a queue that checks nothing when a task is published, and does not wait
// for replicas.
func (c QueueSettings) IsPlain() bool {
	return c.FairBy == "" && !c.UniqueJobs && c.MaxLength == 0 && c.WaitReplicas == 0
}
