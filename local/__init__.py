"""The embedded cloud: template.yaml deployed as it stands onto one moto server inside this process.

moto holds S3, SQS, SNS, EventBridge, Step Functions, Secrets Manager and CloudFormation; every
function runs as a process of its own under awslambdaric, the runtime client that AWS itself uses.
Start with `local.cloud`.
"""

import gc

# moto's CloudFormation imports 28 services with their tables: 2.7 s, one of them spent collecting
# garbage that is none. So they are imported here, before anything of ours, with the collector off.
gc.disable()
try:
    import moto.cloudformation.models
    import moto.stepfunctions.parser.models  # noqa: F401
finally:
    gc.freeze()
    gc.enable()
