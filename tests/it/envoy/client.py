"""Asks a rate-limit service in Envoy's own protocol: a question as JSON on each line, and its answer."""

import json
import sys

import grpc
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from grpc_health.v1 import health_pb2, health_pb2_grpc

channel = grpc.insecure_channel(sys.argv[1])
limits = rls_pb2_grpc.RateLimitServiceStub(channel)
health = health_pb2_grpc.HealthStub(channel)

print("ready", flush=True)
for line in sys.stdin:
    question = json.loads(line)
    try:
        if "health" in question:
            request = health_pb2.HealthCheckRequest(service=question["health"])
            answer = health.Check(request, timeout=20)
        else:
            request = ParseDict(question, rls_pb2.RateLimitRequest())
            answer = limits.ShouldRateLimit(request, timeout=20)
        said = MessageToDict(answer, preserving_proto_field_name=True)
    except grpc.RpcError as error:
        said = {"error": error.code().name, "detail": error.details()}
    print(json.dumps(said), flush=True)
