-- The platform's role and database, made once by a superuser: psql -v password=… -f role.sql
-- As docs/isolation.md says: no superuser, may make roles; and what no tenant's role may do.
-- PostgreSQL's own image runs it at its first start, and has the password in its environment.
\set ON_ERROR_STOP on
\if :{?password}
\else
\getenv password ROWHOUSE_DATABASE_PASSWORD
\endif
CREATE ROLE rowhouse LOGIN NOSUPERUSER CREATEROLE PASSWORD :'password';
CREATE DATABASE rowhouse OWNER rowhouse TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C.UTF-8';
\connect rowhouse
REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) TO rowhouse;
REVOKE USAGE ON LANGUAGE plpgsql, sql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql, sql TO rowhouse;
