#!/usr/bin/env bash
# Makes the secrets that the chart needs, with passwords drawn here, for the embedded Postgres and S3.
#
#   helm/secrets.sh NAMESPACE RELEASE            creates them
#   helm/secrets.sh NAMESPACE RELEASE --dry-run  only says what is there; values stay hidden
#
# They belong together: where one exists already, nothing is made. For databases elsewhere make the same keys with other URLs.
set -euo pipefail
namespace=${1:?NAMESPACE RELEASE} release=${2:?NAMESPACE RELEASE} mode=${3:-}
name=$release-umo-platform

draw() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
secret() {
  local which=$1
  shift
  if [ "$mode" = --dry-run ]; then
    echo "$which: $(printf '%s\n' "$@" | sed -n 's/^--from-literal=\([^=]*\)=.*/\1/p' | paste -sd' ')"
    return
  fi
  kubectl -n "$namespace" create secret generic "$which" "$@"
}
account() {
  secret "$1" "--from-literal=MLFLOW_TRACKING_URI=http://$name-mlflow:5000" \
    "--from-literal=MLFLOW_TRACKING_USERNAME=$2" "--from-literal=MLFLOW_TRACKING_PASSWORD=$(draw)" \
    "--from-literal=UMO_LEDGER=postgresql+psycopg://umo:$umo@$name-postgres:5432/ledger"
}

if [ "$mode" != --dry-run ]; then
  for which in embedded storage mlflow ledger trainer promoter deployer; do
    if kubectl -n "$namespace" get secret "umo-$which" >/dev/null 2>&1; then
      echo "error: the secret umo-$which exists; keep it, or delete all of umo-* and try again" >&2
      exit 5
    fi
  done
fi

postgres=$(draw) mlflow=$(draw) ledger=$(draw) umo=$(draw) key=$(draw) hidden=$(draw)
database=postgresql+psycopg://mlflow:$mlflow@$name-postgres:5432
s3="{\"identities\":[{\"name\":\"umo\",\"credentials\":[{\"accessKey\":\"$key\",\"secretKey\":\"$hidden\"}],\"actions\":[\"Admin\"]}]}"
settings="[mlflow]
default_permission = READ
database_uri = $database/mlflow_accounts
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60"

secret umo-embedded "--from-literal=postgres=$postgres" "--from-literal=mlflow=$mlflow" \
  "--from-literal=ledger=$ledger" "--from-literal=umo=$umo" "--from-literal=s3.json=$s3"
secret umo-storage "--from-literal=AWS_ACCESS_KEY_ID=$key" "--from-literal=AWS_SECRET_ACCESS_KEY=$hidden"
secret umo-mlflow "--from-literal=backend-store-uri=$database/mlflow" \
  "--from-literal=auth-database-uri=$database/mlflow_accounts" "--from-literal=auth.ini=$settings" \
  "--from-literal=admin-username=admin" "--from-literal=admin-password=$(draw)" \
  "--from-literal=flask-secret-key=$(draw)"
secret umo-ledger "--from-literal=UMO_LEDGER=postgresql+psycopg://ledger:$ledger@$name-postgres:5432/ledger"
account umo-trainer trainer
account umo-promoter promoter
account umo-deployer deployer
