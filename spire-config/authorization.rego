# Who may call what of the API of SPIRE's server. It replaces SPIRE's own policy, so it says all of it: what SPIRE lets
# its administrators, agents and downstream servers do (authorization.json lists the calls), and beside that one thing:
# the authority for credentials of tasks may mint SVIDs for tasks, and for nothing else.
package spire

result := {
	"allow": allow,
	"allow_if_admin": listed("admin"),
	"allow_if_agent": listed("agent"),
	"allow_if_downstream": listed("downstream"),
	"allow_if_local": listed("local"),
}

default allow := false

allow if listed("any")

allow if {
	input.full_method == "/spire.api.server.svid.v1.SVID/MintX509SVID"
	input.caller == data.task_authority.id
	input.req.ttl >= 1
	input.req.ttl <= data.task_authority.longest_ttl_seconds
	csr := crypto.x509.parse_certificate_request(input.req.csr)
	count(csr.URIs) == 1
	regex.match(`^(/[a-zA-Z0-9._-]+)+/task/[a-zA-Z0-9._-]+$`, csr.URIs[0].Path)
	# SPIRE copies both into the SVID, and whoever goes by host names would believe them.
	empty(csr.DNSNames)
	empty(csr.Subject.Names)
}

default listed(_) := false

listed(callers) if {
	some method in data.calls[callers]
	input.full_method == method
}

empty(list) if list == null

empty(list) if count(list) == 0
