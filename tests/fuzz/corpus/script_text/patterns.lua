for k, v in ("a=1, b=2"):gmatch("(%w+)=(%w+)") do _G[k] = v end return (("x"):rep(50)):find("x-x-x-y"), ("%d"):format(a)
