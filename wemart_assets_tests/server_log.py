"""The columns of the server log, in the order of its contract."""

LOG_COLUMNS = (
    "unix_log_timestamp",
    "user_info_user_key",
    "user_info_id",
    "user_info_device_id",
    "user_info_status",
    "user_info_ip_address",
    "user_info_locale",
    "user_info_country",
    "user_info_user_agent",
    "topic",
    "url",
    "params",
)
