"""Other people's tables as a dataset: tables -> columns -> mapping -> records and pictures -> folder."""
