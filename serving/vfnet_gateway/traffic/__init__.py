"""Several models behind one name: who gets which share of the requests, and how the newer ones do.

`split` is what an operator wrote, `choosing` draws by it, `deployments` keeps an ensemble open for each that is named,
`mirroring` sends copies, `deployment_metrics` counts by deployment, `canary` shifts the shares and takes them back.
Without a traffic file all requests go to the model that they ask for, and none of this counts anything.
"""
