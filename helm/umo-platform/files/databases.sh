# Run once by the image's entrypoint, in an empty database cluster: a database and an owner for each
# program. Who writes the ledger cannot change its tables.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres \
  --set mlflow="$MLFLOW_PASSWORD" --set ledger="$LEDGER_PASSWORD" --set umo="$UMO_PASSWORD" <<'SQL'
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE ROLE ledger LOGIN PASSWORD :'ledger';
CREATE ROLE umo LOGIN PASSWORD :'umo';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_accounts OWNER mlflow;
CREATE DATABASE ledger OWNER ledger;
REVOKE CONNECT ON DATABASE mlflow, mlflow_accounts, ledger FROM PUBLIC;
GRANT CONNECT ON DATABASE ledger TO umo;
\connect ledger
ALTER DEFAULT PRIVILEGES FOR ROLE ledger GRANT SELECT, INSERT, UPDATE ON TABLES TO umo;
SQL
