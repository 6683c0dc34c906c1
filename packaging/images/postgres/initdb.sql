-- Run by ragpod-initdb as the superuser, over the socket, in database
-- "postgres". Every statement can be run again.
-- Variables: role, database; the password comes from the file in
-- POSTGRES_PASSWORD_FILE, read by psql itself.
\set ON_ERROR_STOP on
\set QUIET on

-- A statement that fails is written to the log whole, and one of them holds
-- the password.
SET log_min_error_statement = panic;
SET log_statement = none;
SET log_min_duration_statement = -1;
SET client_min_messages = warning;

\set password `cat "$POSTGRES_PASSWORD_FILE"`

SELECT format('CREATE ROLE %I', :'role')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec
ALTER ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
    PASSWORD :'password';

SELECT format('CREATE DATABASE %I OWNER %I', :'database', :'role')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'database') \gexec
ALTER DATABASE :"database" OWNER TO :"role";
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC;

\connect :database
SET log_min_error_statement = panic;
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS vector;
CREATE EXTENSION IF NOT EXISTS age;
-- After a change of the image: bring the extensions up to its versions.
ALTER EXTENSION vector UPDATE;
SELECT 'ALTER EXTENSION age UPDATE'
WHERE EXISTS (
    SELECT FROM pg_available_extensions
    WHERE name = 'age' AND default_version <> installed_version
) \gexec

-- AGE keeps its catalogue in ordinary tables, which whoever makes a graph
-- writes to.
GRANT USAGE ON SCHEMA ag_catalog TO :"role";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ag_catalog TO :"role";
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA ag_catalog TO :"role";
GRANT USAGE, CREATE ON SCHEMA public TO :"role";
