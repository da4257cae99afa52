"""Recipe -> Plan. Pure: no disk, no clock, no network, no environment."""
