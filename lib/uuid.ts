/** A UUID as Postgres and Kong write it (RFC 9562 4, lower case). */
export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
